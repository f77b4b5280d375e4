# class names travel in the file
tiny a.vise 1
picture p.ppm "aZ0(b!"
printf "ant\nbee\ncat\ndog\nelk\n" >names.txt
vise convert a.vise b.vise --class-names names.txt
vise run b.vise p.ppm --threads 1
