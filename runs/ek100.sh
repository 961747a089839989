#!/usr/bin/env bash
# EPIC-KITCHENS-100, ViT-B on 16 frames: motion areas, pre-training, fine-tuning, test.
#   runs/ek100.sh DATA [OUT]
# DATA: videos and annotations below one folder; several kinds of labels (docs/data.md).
# Published top-1: 74.2 / 68.1 / 54.5 verb / noun / action (MOFO), 71.6 / 66.0 / 53.2 (VideoMAE).
# What it takes: docs/reproduce.md. Several GPUs: TRAIN="accelerate launch -m mofo" runs/ek100.sh ...
# The same command goes on after a stop.
set -euo pipefail
DATA=${1:?folder of the data set}
OUT=${2:-runs/out/ek100}
TRAIN=${TRAIN:-mofo}
SOURCE=$OUT/ek100.parquet
mkdir -p "$OUT"

# 1 where a few videos cannot be used: they are named, and left out below.
[ -s "$SOURCE" ] || mofo data convert "$DATA" --to "$SOURCE" || [ -s "$SOURCE" ]
mofo data check "$SOURCE" --out "$OUT/check" || [ -s "$OUT/check/quarantine.csv" ]
GOOD=exclude:$OUT/check/quarantine.csv

mofo detect "$SOURCE" "$GOOD" --out "$OUT/areas"
$TRAIN pretrain --config ssv2 --data.source "['$SOURCE', '$GOOD']" --data.split train \
  --data.areas "$OUT/areas" --run.out "$OUT/pretrained"
$TRAIN finetune --config ek100-finetune --encoder "$OUT/pretrained" \
  --data.source "['$SOURCE', '$GOOD']" --data.areas "$OUT/areas" --run.out "$OUT/classes"
mofo evaluate --encoder "$OUT/classes" "$SOURCE" "$GOOD" --store "$OUT/areas" --out "$OUT/results"
mofo evaluate --encoder "$OUT/classes" "$SOURCE" --split test --store "$OUT/areas" --submission "$OUT/ek100.zip"
