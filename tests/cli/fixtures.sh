# fixtures.sh - what the cases are made of: the program, tiny models, tiny pictures
# SPDX-License-Identifier: MIT

# vise ...: says so on stderr if the status is not 0
vise()
{
    "$VISE" "$@" || {
        status=$?
        echo "(status $status)" >&2
        return $status
    }
}

# tiny OUT SEED: a ViT with random weights; what it prints is shown by the case "new" alone
tiny()
{
    vise new vit "$1" --dim 32 --depth 2 --heads 2 --patch 4 --size 16 --classes 5 --seed "$2" \
        >/dev/null
}

# picture FILE BYTES: 16x16 pixels of a pattern; BYTES are six letters, two pixels
picture()
{
    {
        printf 'P6\n16 16\n255\n'
        printf '%128s' '' | sed "s/ /$2/g"
    } >"$1"
}

# folders DIR: six pictures in three classes
folders()
{
    mkdir -p "$1/ant" "$1/bee" "$1/cat"
    picture "$1/ant/1.ppm" 'aZ0(b!'
    picture "$1/ant/2.ppm" 'zzz000'
    picture "$1/bee/1.ppm" '0z00z0'
    picture "$1/bee/2.ppm" '~~~~~!'
    picture "$1/cat/1.ppm" '!!!~~~'
    picture "$1/cat/2.ppm" '@PQ9b8'
}

# checkpoint OUT SEED: the tensors of a tiny ViT under timm's names, and nothing that vise knows of
# it: a .vise file with the keys of its metadata spoilt is a raw safetensors checkpoint
checkpoint()
{
    tiny checkpoint.vise "$2"
    sed 's/"vise/"vxse/g' checkpoint.vise >"$1"
    rm checkpoint.vise
}
