#!/usr/bin/env bash
# A pre-training, a fine-tuning or an evaluation on the GPUs of one or several nodes, a task for each
# GPU.
#   sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 runs/slurm/train.sh pretrain \
#     --config ssv2 --data.source ssv2.parquet --data.areas areas/ --run.out runs/ssv2
# A job that is pre-empted or out of time saves what it has, is put into the queue again and goes on
# from there, also with another number of GPUs.
#SBATCH --cpus-per-task=8 --time=12:00:00 --requeue --open-mode=append
#SBATCH --signal=B:USR1@300
set -u
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR MASTER_PORT=${MASTER_PORT:-29500}

# The tasks end together by themselves; --kill-on-bad-exit would end some of them while they save.
# shellcheck disable=SC2016 # the variables are those of each task
srun bash -c 'RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS \
  LOCAL_RANK=$SLURM_LOCALID exec mofo "$@"' mofo "$@" &
work=$!
again=1
# srun hands the signal on to all tasks; a signal also ends a wait.
trap 'again=1; kill -USR1 $work' USR1
while [ $again = 1 ]; do again=0; wait $work; code=$?; done
# 75: a signal came, all is saved. 138: it came before mofo was there to see it.
case $code in 75 | 138) scontrol requeue "$SLURM_JOB_ID" ;; esac
exit $code
