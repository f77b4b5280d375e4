# changes of the recipe that the library refuses
tiny m.vise 1
vise info m.vise --crop-pct 1.5
