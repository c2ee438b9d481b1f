# The environment of every step; STEP_INDEX is the step's number, from 1.
export ARTIFACTS_DIR='/tmp/harbour/proofs/monday/flaky/30-artifacts'
export ATTEMPT='1'
export COMPOSE_PROJECT_NAME='zf-monday-flaky'
export HOME='/root'
export LANG='C.UTF-8'
export PATH='/usr/local/bin:/usr/bin:/bin'
export PHASE='A'
export PROOF_DIR='/tmp/harbour/proofs/monday/flaky'
export RUN_ID='monday'
export TASK_DIR='/tmp/harbour/tasks/flaky'
export TASK_ID='flaky'
export ZENFLOW_ROOT='/tmp/harbour'
# passed, value not recorded: ZF_COOKIE
