# class names that are not there, and too few
tiny m.vise 1
vise info m.vise --class-names nowhere.txt
printf "one\ntwo\n" >two.txt
vise info m.vise --class-names two.txt
