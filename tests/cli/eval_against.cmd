# a model against itself agrees exactly, against another one it does not
tiny a.vise 1
tiny b.vise 2
folders set
vise eval a.vise --data set --against a.vise --threads 1 --json
vise eval a.vise --data set --against b.vise --threads 1 --json
vise eval a.vise --data set --against a.vise --threads 1
