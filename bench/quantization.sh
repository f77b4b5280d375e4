#!/bin/bash
# quantization.sh [--quick] [--ablation|--cluster] [ROW...] - size, answers and speed of models of few bits, beside
# those of plain rounding to the same bits.
# SPDX-License-Identifier: MIT
#
#   --ablation  what each part of calibration is worth, at 4 bits with operands of 8
#   --cluster   palettes: centroids, what shares them, scales and methods, beside even levels of as many bits
#   --quick     200 pictures, 32 to calibrate with; the results go to build
#   ROW         a setting, a checkpoint or CHECKPOINT/SETTING, * stands for anything (default: all)
#
# A SETTING@N is calibrated with N pictures, others with 128.
# Writes bench/results/quantization.csv and .svg, quantization_ablation.csv or cluster.csv; rows that are there and were
# not asked for stay, each with the commit that it was made at. Columns nearest_*: the same bits, rounded to
# nearest over the whole range, without pictures but for static ranges. Times are of one thread, the three of
# a row taken in turns. Needs ../shared/data; a row takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

name=quantization folder=bench/results pictures=0 calibration=128
command="bench/quantization.sh $*"
while [ $# -gt 0 ]; do
    case $1 in
    --ablation) name=quantization_ablation ;;
    --cluster) name=cluster ;;
    --quick) folder=build pictures=200 calibration=32 ;;
    -*) sed -n '5,10s/^# *//p' "$0" >&2; exit 2 ;;
    *) break ;;
    esac
    shift
done
asked=("${@:-*}")
out=$folder/$name.csv
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p $folder

# ---- what there is to measure: lines "CHECKPOINT SETTING PASS" ----

large="deit_tiny_patch16_224 vit_tiny_patch16_224_augreg"
small="vit_cifar10_d4_w128 vit_fashionmnist_d6_w128"

table() {
    local model
    for model in $large; do
        sed "s/^\([^ ]*\)/$model \1 quantize/" <<'END'
w8 weights=int8
w8-static weights=int8 acts=static
w6a6 weights=int6 acts=int6
w4 weights=int4
w4-g64 weights=int4 group=64
w4-same weights=int4 ends=same
wo4-g64 weights=int4 group=64 acts=f32
w3-g64 weights=int3 group=64
wo2 weights=int2 group=64 acts=f32 ends=same vectors=f16
w4a4 weights=int4 acts=static4 ends=same
w3-g64@500 weights=int3 group=64
w4a4@500 weights=int4 acts=static4 ends=same
END
    done
    for model in $small; do printf '%s\n' "$model w8 quantize weights=int8" "$model w4 quantize weights=int4"; done
}

ablation() {
    local model
    for model in $large; do
        sed "s/^\([^ ]*\)/$model \1 quantize weights=int4/" <<'END'
nearest method=nearest range=minmax fold=0 ends=same
+mse method=nearest range=mse fold=0 ends=same
+gptq method=gptq fold=0 importance=off ends=same
+bias method=full target=0 polish=0 refit=off fold=0 importance=off ends=same
+target method=full polish=0 refit=off fold=0 importance=off ends=same
+polish method=full refit=off fold=0 importance=off ends=same
+refit method=full fold=0 importance=off ends=same
+fold method=full importance=off ends=same
+importance method=full ends=same
+ends method=full
END
    done
}

# Operands are floats in settings fN, N centroids, and 8 bits in sN; uN: even levels.
clusters() {
    local model k bits
    for model in $large; do
        for k in 256 128 64 32 16 8 4; do echo "$model f$k cluster k=$k acts=f32"; done
        for k in 64 16 4; do echo "$model f$k-kmeans cluster k=$k acts=f32 method=kmeans scales=off fold=0"; done
        for k in 64 16; do
            echo "$model f$k-kmeans-scales cluster k=$k acts=f32 method=kmeans fold=0"
            echo "$model f$k-kmeans-model cluster k=$k acts=f32 method=kmeans codebook=model scales=off fold=0"
            echo "$model f$k-weighted cluster k=$k acts=f32 method=weighted"
            echo "$model f$k-plain cluster k=$k acts=f32 scales=off"
            echo "$model f$k-model cluster k=$k acts=f32 codebook=model"
            echo "$model f$k-rows cluster k=$k acts=f32 codebook=rows64"
        done
        for k in 64 32 16 8 4; do echo "$model s$k cluster k=$k"; done
        for bits in 6 4 3 2; do echo "$model u$((1 << bits)) quantize weights=int$bits acts=f32 ends=same"; done
    done
}

# wanted CHECKPOINT SETTING: was it asked for?
wanted() {
    local pattern
    for pattern in "${asked[@]}"; do
        # shellcheck disable=SC2053 # a pattern is meant
        [[ $1 != $pattern && $2 != $pattern && $1/$2 != $pattern ]] || return 0
    done
    return 1
}

# ---- pictures ----

# part FILE RANK SIZE FIRST N: N items, of SIZE bytes, of an idx file of bytes.
part() {
    local head=$((4 + 4 * $2))
    head -c 4 "$1"
    printf %b "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($5 >> 24)) $(($5 >> 16 & 255)) $(($5 >> 8 & 255)) $(($5 & 255)))"
    dd if="$1" iflag=skip_bytes,count_bytes skip=8 count=$((head - 8)) status=none
    dd if="$1" iflag=skip_bytes,count_bytes bs=64K skip=$((head + $3 * $4)) count=$(($3 * $5)) status=none
}

# Of Fashion-MNIST there is the test set alone: its first pictures calibrate, the others are counted.
split_fashion() {
    local file rank size
    mkdir "$tmp/calib" "$tmp/eval"
    for file in images-idx3 labels-idx1; do
        rank=${file: -1} size=1
        [ "$rank" -eq 1 ] || size=$((28 * 28))
        gzip -dc $data/images/fashion_mnist/t10k-$file-ubyte.gz >"$tmp/all"
        part "$tmp/all" "$rank" $size 0 $calibration >"$tmp/calib/t10k-$file-ubyte"
        part "$tmp/all" "$rank" $size $calibration $((10000 - calibration)) >"$tmp/eval/t10k-$file-ubyte"
    done
    calib=$tmp/calib eval=$tmp/eval
}

# prepare CHECKPOINT: $tmp/f32.vise and int8.vise; calib and eval, where its pictures are.
prepare() {
    local import
    rm -rf "${tmp:?}"/*
    case $1 in
    vit_cifar10_*) # as many of each class, for a tar is read in its order
        mkdir "$tmp/calib"
        tar -xf $data/images/cifar10/train.tar -C "$tmp/calib" --strip-components 1 --wildcards \
            'train/*/000?.jpg' 'train/*/001[012].jpg'
        calib=$tmp/calib eval=$data/images/cifar10/test.tar
        ;;
    vit_fashionmnist_*) split_fashion ;;
    *) calib=$data/images/imagenet_calib eval=$data/images/imagenet_eval ;;
    esac
    import_options "$1"
    $vise convert "$data/checkpoints/$1/model.safetensors" "$tmp/f32.vise" "${import[@]}" --quiet >/dev/null
    $vise compress "$tmp/f32.vise" "$tmp/int8.vise" --pass "quantize method=nearest" --quiet >/dev/null
}

# ---- measuring ----

# answers FILE: n, top1, top5, agreement and mean KL.
answers() {
    local line
    line=$($vise eval "$1" --against "$tmp/f32.vise" --data "$eval" --limit $pictures --json --quiet)
    echo "$(field n <<<"$line"),$(field correct_top1 <<<"$line"),$(field correct_top5 <<<"$line"),$(field \
        agreement <<<"$line"),$(field mean_kl <<<"$line")"
}

# compress FILE PASS COUNT: sets seconds.
compress() {
    local start=${EPOCHREALTIME/,/.}
    $vise compress "$tmp/f32.vise" "$1" --pass "$2" --calib "$calib" --calib-count "$3" \
        --quiet >/dev/null
    seconds=$(awk -v a="$start" -v b="${EPOCHREALTIME/,/.}" 'BEGIN { printf "%.1f", b - a }')
}

# times FILE: the shortest run of it, of f32 and of int8, in ms.
times() {
    $vise bench "$1" "$tmp/f32.vise" "$tmp/int8.vise" --threads 1 --runs 60 --json --quiet | field min_ms | paste -sd,
}

# row CHECKPOINT SETTING PASS: sets line.
row() {
    local found plain bytes ms count=$calibration
    case $2 in *@*) count=${2#*@} ;; esac
    compress "$tmp/q.vise" "$3" "$count"
    found=$(answers "$tmp/q.vise")
    bytes=$(stat -c %s "$tmp/q.vise")
    line="$1,$2,$3,$found"
    if [ $name = quantization ]; then
        ms=$(times "$tmp/q.vise")
        local own=$seconds
        compress "$tmp/nearest.vise" "$3 method=nearest range=minmax clip=minmax fold=0" "$count"
        plain=$(answers "$tmp/nearest.vise")
        line+=",${plain#*,},$bytes,$(awk -v a="$bytes" -v b="$(stat -c %s "$tmp/f32.vise")" \
            'BEGIN { printf "%.2f", b / a }'),$own,$ms"
    elif [ $name = cluster ]; then
        line+=",$bytes,$(awk -v a="$bytes" -v b="$(stat -c %s "$tmp/f32.vise")" 'BEGIN { printf "%.2f", b / a }'),$seconds"
        line+=",$(times "$tmp/q.vise")"
    else
        line+=",$bytes,$seconds"
    fi
    line+=",$commit"
}

# keep LINE: into $out, in the table's order and in place of the row that it makes anew.
keep() {
    local old=/dev/null
    [ ! -f $out ] || old=$out
    {
        echo "$head"
        awk -F, 'FILENAME == "-" { split($0, k, " "); key[++n] = k[1] "," k[2]; next }
            !/^#/ { row[$1 "," $2] = $0 }
            END { for (i = 1; i <= n; i++) if (key[i] in row) print row[key[i]] }' \
            - $old <(echo "$1") < <($rows)
    } >"$tmp/csv"
    cp "$tmp/csv" $out
}

rows=table
columns='checkpoint,setting,pass,n,top1,top5,agreement,mean_kl,nearest_top1,nearest_top5,nearest_agreement,nearest_kl'
columns+=',file_bytes,ratio,compress_s,ms,f32_ms,int8_ms,commit'
if [ $name = quantization_ablation ]; then
    rows=ablation
    columns='checkpoint,setting,pass,n,top1,top5,agreement,mean_kl,file_bytes,compress_s,commit'
fi
if [ $name = cluster ]; then
    rows=clusters
    columns='checkpoint,setting,pass,n,top1,top5,agreement,mean_kl,file_bytes,ratio,compress_s,ms,f32_ms,int8_ms,commit'
fi
head=$(provenance "$command")
commit=$(sed -n 's/^# commit: //p' <<<"$head")
head+=$'\n'$columns
ready=
while read -r checkpoint setting pass <&3; do
    wanted "$checkpoint" "$setting" || continue
    [ "$ready" = "$checkpoint" ] || prepare "$checkpoint"
    ready=$checkpoint
    row "$checkpoint" "$setting" "$pass"
    echo "$line"
    keep "$line"
done 3< <($rows)
if [ -z "$ready" ]; then
    echo "quantization.sh: no row is called ${asked[*]}" >&2
    exit 2
fi
if [ $name = quantization ]; then
    awk -f bench/quantization.awk $out >"$tmp/svg"
    [ ! -s "$tmp/svg" ] || cp "$tmp/svg" $folder/$name.svg # empty without rows of the ImageNet checkpoints
fi
