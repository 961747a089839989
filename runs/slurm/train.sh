#!/usr/bin/env bash
# A pre-training or a fine-tuning on the GPUs of one or several nodes, a task for each GPU.
#   sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 runs/slurm/train.sh pretrain \
#     --config ssv2 --data.source ssv2.parquet --data.areas areas/ --run.out runs/ssv2
# A job that is pre-empted or out of time saves a checkpoint, is put into the queue again and goes
# on from there, also with another number of GPUs.
#SBATCH --cpus-per-task=8 --time=12:00:00 --requeue --open-mode=append
#SBATCH --signal=B:USR1@300
set -u
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR MASTER_PORT=${MASTER_PORT:-29500}

# shellcheck disable=SC2016 # the variables are those of each task
srun --kill-on-bad-exit=1 bash -c 'RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS \
  LOCAL_RANK=$SLURM_LOCALID exec mofo "$@"' mofo "$@" &
work=$!
# srun hands the signal on to all tasks; each finishes its step, and the first one saves.
trap 'kill -USR1 $work; wait $work; scontrol requeue "$SLURM_JOB_ID"; exit 0' USR1
wait $work
