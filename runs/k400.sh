#!/usr/bin/env bash
# Kinetics-400, ViT-B on 16 frames: motion areas, pre-training, fine-tuning, test.
#   runs/k400.sh DATA [OUT]
# DATA: videos and annotations/*.csv below one folder (docs/data.md).
# Published top-1: 80.0 (VideoMAE, 800 epochs); MOFO has none.
# What it takes: docs/reproduce.md. Several GPUs: TRAIN="accelerate launch -m mofo" runs/k400.sh ...
# The same command goes on after a stop.
set -euo pipefail
DATA=${1:?folder of the data set}
OUT=${2:-runs/out/k400}
TRAIN=${TRAIN:-mofo}
SOURCE=$OUT/k400.parquet
mkdir -p "$OUT"

# 1 where a few videos cannot be used: they are named, and left out below.
[ -s "$SOURCE" ] || mofo data convert "$DATA" --to "$SOURCE" || [ -s "$SOURCE" ]
mofo data check "$SOURCE" --out "$OUT/check" || [ -s "$OUT/check/quarantine.csv" ]
GOOD=exclude:$OUT/check/quarantine.csv

mofo detect "$SOURCE" "$GOOD" --out "$OUT/areas"
$TRAIN pretrain --config k400 --data.source "['$SOURCE', '$GOOD']" --data.split train \
  --data.areas "$OUT/areas" --run.out "$OUT/pretrained"
$TRAIN finetune --config k400-finetune --encoder "$OUT/pretrained" \
  --data.source "['$SOURCE', '$GOOD']" --data.areas "$OUT/areas" --run.out "$OUT/classes"
mofo evaluate --encoder "$OUT/classes" "$SOURCE" "$GOOD" --views 5x3 --store "$OUT/areas" --out "$OUT/results"
