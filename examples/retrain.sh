#!/bin/sh
# Retrain, then forecast with the champion, unless the retraining failed. For cron, systemd and CI; run it in the
# project's folder with the arguments of `kedro run`, such as --env production. Both commands get them: settings of the
# next training belong in the environment, because the champion refuses other ones in --params.
# Exit status: that of the retraining (0 promoted or nothing to do, 3 refused, else failed); if the forecast fails, its own.
kedro=${KEDRO:-.venv/bin/kedro}
status=0
"$kedro" run --pipeline retrain "$@" || status=$?
case $status in
0 | 3) "$kedro" run --pipeline forecast "$@" || exit $? ;;
esac
exit $status
