"""What several tests need: clips, data sets, models and runs made for them."""
