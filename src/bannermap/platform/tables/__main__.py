"""Print the table reference."""

from bannermap.platform.tables import reference

print(reference())
