sleep 0; echo $?; sleep 0.01; sleep x; echo $?
