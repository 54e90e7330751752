x='echo $y'; y=3; eval $x; eval "z=\$y"; echo $z
eval 'false'; echo $?
eval; echo $?
