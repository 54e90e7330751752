let x=3+4; echo $x; let 0; echo $?
