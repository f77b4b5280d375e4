# passes in order, each in the history; the same file by two names
tiny m.vise 1
vise compress m.vise q.vise --pass "quantize"
vise compress m.vise r.vise --pass "  quantize weights=int8	acts=int8 " --json
cmp q.vise r.vise && vise info q.vise
vise compress m.vise s.vise --pass "quantize weights=bf16 acts=f32" --pass "quantize acts=int8 skip=head,blocks.0.*"
vise info s.vise | grep -E 'history|quantize|u8|bf16|head'
vise info q.vise --json --layers | tr '{' '\n' | grep -E 'weights|"u8|attn"'
# nothing changed but the history
vise compress m.vise same.vise --pass "quantize weights=f32 acts=f32"
folders set
vise eval same.vise --against m.vise --data set | grep -E 'agreement|KL|error'
