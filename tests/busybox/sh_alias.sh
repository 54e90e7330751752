alias greet='echo hello' up='greet up' loop='loop x'
greet world; up there
alias greet; type greet; command -v greet
loop 2>/dev/null; echo $?
alias sudo='greet ' ; alias me='you'
sudo me again me
alias if2='if'
if2 true; then echo yes; fi
alias pipe='echo a b | tr " " "\n"'
pipe | sort -r
\greet 2>/dev/null; echo $?; 'greet' 2>/dev/null; echo $?
f() { greet from f; }
unalias greet
f
greet 2>/dev/null; echo $?
(alias inner='echo in'; alias inner); alias inner; echo $?
unalias nope; echo $?; unalias -a; alias; echo $?
alias q="it's"; alias q
eval 'alias late="echo late"'; eval late
