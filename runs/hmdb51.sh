#!/usr/bin/env bash
# HMDB51, split 1, ViT-B on 16 frames: motion areas, pre-training, fine-tuning, test.
#   runs/hmdb51.sh DATA [OUT]
# DATA: hmdb51_org/ and testTrainMulti_7030_splits/ below one folder (docs/data.md).
# Published top-1: 62.6 (VideoMAE); MOFO has none.
# As UCF101, but every second frame, 4800 epochs and 50 (VideoMAE).
# What it takes: docs/reproduce.md. Several GPUs: TRAIN="accelerate launch -m mofo" runs/hmdb51.sh ...
# The same command goes on after a stop.
set -euo pipefail
DATA=${1:?folder of the data set}
OUT=${2:-runs/out/hmdb51}
TRAIN=${TRAIN:-mofo}
SOURCE=$OUT/hmdb51.parquet
mkdir -p "$OUT"

# 1 where a few videos cannot be used: they are named, and left out below.
[ -s "$SOURCE" ] || mofo data convert "$DATA" --to "$SOURCE" || [ -s "$SOURCE" ]
mofo data check "$SOURCE" --out "$OUT/check" || [ -s "$OUT/check/quarantine.csv" ]
GOOD=exclude:$OUT/check/quarantine.csv

mofo detect "$SOURCE" "$GOOD" --out "$OUT/areas"
$TRAIN pretrain --config ucf101 --data.source "['$SOURCE', '$GOOD']" --data.split train \
  --data.areas "$OUT/areas" --run.out "$OUT/pretrained" --data.stride 2 --optim.epochs 4800
$TRAIN finetune --config ucf101-finetune --encoder "$OUT/pretrained" \
  --data.source "['$SOURCE', '$GOOD']" --data.areas "$OUT/areas" --run.out "$OUT/classes" --data.stride 2 --optim.epochs 50
mofo evaluate --encoder "$OUT/classes" "$SOURCE" "$GOOD" --split test --views 10x3 --store "$OUT/areas" --out "$OUT/results"
