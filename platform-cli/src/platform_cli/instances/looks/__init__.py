"""The looks at a server, by what they look at. Each is one small fact that wmctl relies on."""
