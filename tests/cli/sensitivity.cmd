# layers and bits of a tiny model, as text, as JSON, as a picture; a budget spent by it. The plain kernels:
# numbers are printed with few digits
tiny 'a&<b.vise' 1
folders set
vise sensitivity 'a&<b.vise' --calib set --cpu c --svg p.svg >out
sed -E 's/ [0-9]\.[0-9]{2}e-[0-9]+/ #/g; s/  +/  /g' out
grep -o '<title>' p.svg | wc -l
sed -E -n '/<title>head/ { s/#[0-9a-f]{6}/#/g; s/>[0-9.]+e-[0-9]+</>#</g; p }; /class="t"/p; $p' p.svg
vise sensitivity 'a&<b.vise' --calib set --calib-count 2 --group 32 --threads 2 --cpu c --json --quiet >out
sed -E 's/"kl":[-+.0-9e]+/"kl":#/g' out
vise compress 'a&<b.vise' q.vise --calib set --pass "quantize weights=auto budget=18kB acts=f32" >out
vise info q.vise --json | grep -c 'weights=auto budget=18kB'
