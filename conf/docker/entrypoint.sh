#!/bin/bash
# What Kubernetes starts: "driver ARGUMENTS" or "executor", as Spark's scheduler says; anything else is run as it is.
set -euo pipefail
[ -n "${BANNERMAP_SPARK_LOG:-}" ] || unset BANNERMAP_SPARK_LOG  # log4j takes an empty name for that of an appender

case "${1:-}" in
  driver)
    shift
    # Files of the job may lie on s3a://, and spark-submit fetches them before it looks at --jars.
    export SPARK_DIST_CLASSPATH="${SPARK_DIST_CLASSPATH:+$SPARK_DIST_CLASSPATH:}${BANNERMAP_HOME:-/opt/bannermap}/.venv/s3-jars/*"
    exec "$SPARK_HOME/bin/spark-submit" --deploy-mode client \
      --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
      --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" "$@"
    ;;
  executor)
    # Options of the JVM come one by one, in SPARK_JAVA_OPT_0 and so on, in this order.
    options=()
    for ((number = 0; ; number++)); do
      name="SPARK_JAVA_OPT_$number"
      [ -n "${!name+set}" ] || break
      options+=("${!name}")
    done
    # Spark lays its own settings, those of the log among them, into SPARK_CONF_DIR.
    exec "${JAVA_HOME:+$JAVA_HOME/bin/}java" "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
      -cp "${SPARK_CONF_DIR:+$SPARK_CONF_DIR:}${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$SPARK_HOME/jars/*:$PWD" \
      org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
      --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
      --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
      --resourceProfileId "${SPARK_RESOURCE_PROFILE_ID:-0}" --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
  *)
    exec "$@"
    ;;
esac
