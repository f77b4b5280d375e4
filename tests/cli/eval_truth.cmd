# labels from a CSV; folders then are only places
tiny m.vise 1
folders set
printf "path,label\nbee/2.ppm,0\nant/1.ppm,4\n" >truth.csv
vise eval m.vise --data set --truth truth.csv --threads 1 --json
