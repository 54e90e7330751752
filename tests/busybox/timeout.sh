timeout 5 echo fine; { timeout 0.2 sleep 5; echo $?; timeout -s KILL 0.2 sleep 5; echo $?; } 2>&1 | grep -v -e Terminated -e Killed; timeout 5 false; echo $?; timeout 1 nosuch; echo $?
