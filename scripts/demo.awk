# demo.awk - the rows of demo.sh as a page: a table, and right answers over bytes as a picture
# SPDX-License-Identifier: MIT
BEGIN { FS = "|" }
{
    name[NR] = $1; bytes[NR] = $2; right[NR] = 100 * $3; agree[NR] = 100 * $4; kl[NR] = $5
    split($6, t, " "); ms[NR] = t[1]; plain[NR] = t[2]
    if (bytes[NR] > most) most = bytes[NR]
    if (NR == 1 || right[NR] < least) least = right[NR]
    if (right[NR] > best) best = right[NR]
}
END {
    print "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>vise: a demonstration</title>"
    print "<style>body{font:15px sans-serif;margin:2em;max-width:60em}td,th{padding:.2em .8em;text-align:right}"
    print "td:first-child{text-align:left}tr:nth-child(even){background:#f3f5f8}text{font:12px sans-serif}</style></head><body>"
    print "<h1>One model, smaller and faster</h1>\n<table><tr><th></th><th>bytes</th><th>smaller</th><th>right</th>"
    print "<th>as the original</th><th>mean KL</th><th>ms</th><th>faster</th></tr>"
    for (i = 1; i <= NR; i++)
        printf "<tr><td>%s</td><td>%d</td><td>%.1fx</td><td>%.1f %%</td><td>%.1f %%</td><td>%.4f</td><td>%.3f</td><td>%.1fx</td></tr>\n",
            name[i], bytes[i], bytes[1] / bytes[i], right[i], agree[i], kl[i], ms[i], plain[i] / ms[i]
    print "</table>\n<h2>Right answers over bytes of the file</h2>"
    low = int(least / 5) * 5; high = int(best / 5 + 1) * 5; if (high > 100) high = 100
    print "<svg viewBox=\"0 0 760 380\" width=\"760\" height=\"380\">"
    for (y = low; y <= high; y += (high - low) / 5)
        printf "<line x1=\"60\" x2=\"740\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/><text x=\"52\" y=\"%.1f\" text-anchor=\"end\">%.0f %%</text>\n",
            at(y), at(y), at(y) + 4, y
    for (i = 1; i <= NR; i++)
        printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/><text x=\"%.1f\" y=\"%.1f\"%s>%s</text>\n",
            60 + 660 * bytes[i] / most, at(right[i]), i == 1 ? "#888" : "#3b6fb6",
            60 + 660 * bytes[i] / most + (i == 1 ? -9 : 9), at(right[i]) + 4 + (i % 2 ? 9 : -9),
            i == 1 ? " text-anchor=\"end\"" : "", name[i]
    for (i = 0; i <= 4; i++)
        printf "<text x=\"%.1f\" y=\"372\" text-anchor=\"middle\">%.0f kB</text>\n", 60 + 165 * i, most * i / 4000
    print "</svg>\n</body></html>"
}
function at(y) { return 350 - 320 * (y - low) / (high - low) }
