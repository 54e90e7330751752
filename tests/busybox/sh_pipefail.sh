set -o pipefail
false | true; echo $?
exit_with() { return $1; }
exit_with 3 | exit_with 0 | true; echo $?
true | true; echo $?
set +o pipefail
false | true; echo $?
