ls() { echo function; }; ls; command ls nothing 2>/dev/null; echo $?; unset -f ls
echo() { printf 'mine %s\n' "$1"; }; echo x; unset -f echo; echo back
true() { return 3; }; true; echo $?; command true; echo $?
