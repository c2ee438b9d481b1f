# The environment of every step; STEP_INDEX is the step's number, from 1.
export ARTIFACTS_DIR='/tmp/harbour/proofs/monday/build/30-artifacts'
export ATTEMPT='1'
export COMPOSE_PROJECT_NAME='zf-monday-build'
export HOME='/root'
export LANG='C.UTF-8'
export PATH='/usr/local/bin:/usr/bin:/bin'
export PHASE='A'
export PROOF_DIR='/tmp/harbour/proofs/monday/build'
export RUN_ID='monday'
export TASK_DIR='/tmp/harbour/tasks/build'
export TASK_ID='build'
export ZENFLOW_ROOT='/tmp/harbour'
# passed, value not recorded: ZF_COOKIE
