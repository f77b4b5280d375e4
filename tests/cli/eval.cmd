# a folder per class, as text and as JSON
tiny m.vise 1
folders set
vise eval m.vise --data set --threads 1
vise eval m.vise --data set --threads 1 --json
vise eval m.vise --data set --threads 1 --json --limit 2 --batch 4
