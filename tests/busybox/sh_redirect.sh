echo one > f; echo two >> f; cat < f
cat nothing 2> err; echo $?; cat err
{ echo out; echo err >&2; } > both 2>&1; cat both
exec 3> three; echo x >&3; exec 3>&-; cat three
echo here >| f; cat f
set -C; echo no > f; echo $?
