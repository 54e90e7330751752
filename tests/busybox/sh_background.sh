sleep 0.2 & wait; echo $?
(exit 5) & wait $!; echo $?
{ sleep 0.1; echo late; } & echo early; wait
a() { sleep 0.1; return 3; }; a & p=$!; wait $p; echo $?
