"""Small pictures of files that strangers sent, drawn where a hostile file can do no harm."""
