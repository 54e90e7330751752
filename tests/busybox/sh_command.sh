command -v echo; command -v cat >/dev/null && echo found
command -v nothing_here; echo $?
type cd
f() { :; }; type f
command echo plain
