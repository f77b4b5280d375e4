# the products' speed: what depends on the machine is left out
vise bench --kernels s8 --runs 1 --json >out
sed 's/\(us\|gops\|bytes\)":[-+.0-9e]*/\1":#/g; s/peak_of":"[^"]*"/peak_of":"#"/' out
vise bench --kernels f64
vise bench --kernels f32 s8
vise bench
