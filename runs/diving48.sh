#!/usr/bin/env bash
# Diving48, version 2, ViT-B on 16 frames: motion areas, pre-training, fine-tuning, test.
#   runs/diving48.sh DATA [OUT]
# DATA: rgb/ and Diving48_*.json below one folder (docs/data.md).
# Published top-1: no masked autoencoder has one; see docs/reproduce.md.
# As UCF101, whose size it has; frames from equal parts of the whole dive: a label is all of it.
# What it takes: docs/reproduce.md. Several GPUs: TRAIN="accelerate launch -m mofo" runs/diving48.sh ...
# The same command goes on after a stop.
set -euo pipefail
DATA=${1:?folder of the data set}
OUT=${2:-runs/out/diving48}
TRAIN=${TRAIN:-mofo}
SOURCE=$OUT/diving48.parquet
mkdir -p "$OUT"

# 1 where a few videos cannot be used: they are named, and left out below.
[ -s "$SOURCE" ] || mofo data convert "$DATA" --to "$SOURCE" || [ -s "$SOURCE" ]
mofo data check "$SOURCE" --out "$OUT/check" || [ -s "$OUT/check/quarantine.csv" ]
GOOD=exclude:$OUT/check/quarantine.csv

mofo detect "$SOURCE" "$GOOD" --out "$OUT/areas"
$TRAIN pretrain --config ucf101 --data.source "['$SOURCE', '$GOOD']" --data.split train \
  --data.areas "$OUT/areas" --run.out "$OUT/pretrained" --optim.epochs 1600
$TRAIN finetune --config ucf101-finetune --encoder "$OUT/pretrained" \
  --data.source "['$SOURCE', '$GOOD']" --data.areas "$OUT/areas" --run.out "$OUT/classes" --data.sampling segments
mofo evaluate --encoder "$OUT/classes" "$SOURCE" "$GOOD" --split test --store "$OUT/areas" --out "$OUT/results"
