# quantization.awk - quantization.csv as an SVG: the divergence from f32 against the size of the file.
# SPDX-License-Identifier: MIT
#
# A panel per ImageNet checkpoint. A disc is a setting; the ring that a line joins to it is plain rounding to
# the same bits. Both axes are logarithmic.
BEGIN {
    FS = ","
    W = 520; H = 380; LEFT = 62; RIGHT = 16; TOP = 34; BOTTOM = 46
}

/^#/ || !/_patch16_224/ { next }

{
    if (!($1 in panel)) { panel[$1] = panels++; title[panels - 1] = $1 }
    n++
    at[n] = panel[$1]; name[n] = $2; kl[n] = $8 + 0; plain[n] = $12 + 0; mb[n] = $13 / 1e6
    for (k = 0; k < 2; k++) {
        v = k ? kl[n] : plain[n]
        if (v <= 0) continue
        if (!low || v < low) low = v
        if (v > high) high = v
    }
    if (!small || mb[n] < small) small = mb[n]
    if (mb[n] > big) big = mb[n]
}

function x(p, v) {
    return p * W + LEFT + (W - LEFT - RIGHT) * log(v / small) / log(big / small)
}

function y(v) {
    if (v < low) v = low
    return TOP + (H - TOP - BOTTOM) * log(high / v) / log(high / low)
}

function text(at_x, at_y, anchor, s) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", at_x, at_y, anchor, s
}

function line(x1, y1, x2, y2, class) {
    printf "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2
}

function dot(class, at_x, at_y) {
    printf "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", class, at_x, at_y
}

function axes(p,    v, e) {
    text(p * W + (W + LEFT - RIGHT) / 2, 20, "middle", title[p])
    for (e = -9; e < 4; e++) {
        v = 10 ^ e
        if (v < low || v > high) continue
        line(p * W + LEFT, y(v), (p + 1) * W - RIGHT, y(v), "grid")
        text(p * W + LEFT - 6, y(v) + 4, "end", v)
    }
    for (v = 0.5; v < 1000; v += v < 4 ? 0.5 : v < 16 ? 1 : 8) {
        if (v < small || v > big) continue
        line(x(p, v), TOP, x(p, v), H - BOTTOM, "grid")
        text(x(p, v), H - BOTTOM + 16, "middle", v)
    }
    text(p * W + (W + LEFT - RIGHT) / 2, H - 10, "middle", "file, MB")
    printf "<text x=\"0\" y=\"0\" text-anchor=\"middle\" transform=\"translate(%d %d) rotate(-90)\">mean KL, nats</text>\n",
        p * W + 14, (H + TOP - BOTTOM) / 2
}

END {
    if (!n) exit
    small *= 0.93; big *= 1.3; low *= 0.7; high *= 1.4 # room for the names
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"11\">\n",
        panels * W, H
    print "<style>text{paint-order:stroke;stroke:#fff;stroke-width:3px}.grid{stroke:#ddd}.gain{stroke:#bbb}.plain{fill:#fff;stroke:#c33}.ours{fill:#27c}</style>"
    printf "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", panels * W, H
    for (p = 0; p < panels; p++) axes(p)
    for (i = 1; i <= n; i++) {
        px = x(at[i], mb[i])
        line(px, y(plain[i]), px, y(kl[i]), "gain")
        dot("plain", px, y(plain[i]))
        dot("ours", px, y(kl[i]))
        text(px + 6, y(kl[i]) + 4, "start", name[i])
    }
    dot("ours", W - 132, TOP + 10)
    text(W - 122, TOP + 14, "start", "calibrated")
    dot("plain", W - 132, TOP + 26)
    text(W - 122, TOP + 30, "start", "rounded to nearest")
    print "</svg>"
}
