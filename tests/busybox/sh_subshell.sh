x=1; (x=2; echo $x); echo $x
(cd /; pwd); [ "$(pwd)" = / ] || echo still
(exit 4); echo $?
{ x=3; }; echo $x
