# an option that is not there, and one like nothing
vise info m.vise --jsno
vise info m.vise --frobnicate
vise info -j m.vise
