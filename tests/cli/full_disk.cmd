# write errors count: results, help and JSON that did not arrive
vise new --list >/dev/full
vise help run >/dev/full
vise cpu --json >/dev/full
