"""Analytics: what happens in clusters by day, which rise and fall, the words and the users that set them apart."""
