"""Tables and pictures of what was learned and proved, and the page that holds them."""
