for i in 1 2 3; do while true; do break 2; done; done; echo $i
