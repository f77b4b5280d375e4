# files that are no models: text, a truncated one, an empty folder
echo hello >text.vise
vise info text.vise
tiny m.vise 1
head -c 1000 m.vise >cut.vise
vise info cut.vise
mkdir empty
vise info empty
