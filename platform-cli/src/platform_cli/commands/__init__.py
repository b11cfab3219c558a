"""The commands of wmctl, a module a noun: read the arguments, call one verb, show what it answered."""
