echo x 2>&1 >f; cat f
{ echo out; echo err >&2; } 2>&1 >/dev/null
exec 5>five; echo to five >&5; exec 5>&-; cat five
cat <<A - <<B
a
A
b
B
echo abc > f; exec 6<>f; read x <&6; echo $x; exec 6>&-
