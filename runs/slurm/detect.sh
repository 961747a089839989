#!/usr/bin/env bash
# Motion areas of many videos as an array of jobs, each with its share of the files.
#   sbatch --array=1-64 runs/slurm/detect.sh videos.parquet areas/
#   mofo areas merge areas/            # when all are done (not needed for training: it reads all parts)
# A job that is pre-empted or out of time is put into the queue again and goes on where it was.
#SBATCH --cpus-per-task=16 --mem=32G --time=04:00:00 --requeue --open-mode=append
#SBATCH --signal=B:USR1@120
set -u
SOURCE=${1:?list, folder or data set}
AREAS=${2:?folder of the store}

mofo detect "$SOURCE" --out "$AREAS" --quiet --workers "${SLURM_CPUS_PER_TASK:-1}" \
  --shard "${SLURM_ARRAY_TASK_ID:-1}/${SLURM_ARRAY_TASK_COUNT:-1}" &
work=$!
again=1
trap 'again=1; kill -USR1 $work' USR1 # which also ends a wait
while [ $again = 1 ]; do again=0; wait $work; code=$?; done
# 75: a signal came, what is finished is kept. 138: it came before mofo was there to see it.
case $code in
  75 | 138) scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" ;;
esac
exit $code
