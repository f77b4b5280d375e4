# import options that the library refuses: misuse as well
tiny m.vise 1
vise info m.vise --crop-pct 1.5
vise info m.vise --size 100000
