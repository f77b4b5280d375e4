# a model as text
tiny m.vise 1
vise info m.vise
