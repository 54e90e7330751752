expr 1 + 2; expr 3 \* 4; expr 7 / 2; expr 7 % 4
expr 1 \< 2; expr a = a; expr a = b; echo $?
expr length hello; expr substr hello 2 3; expr index hello l
expr hello : 'h.*l'; expr hello : 'h\(.*\)o'; expr abc : x; echo $?
expr 0 \| 5; expr 3 \& 0; expr \( 1 + 2 \) \* 3
expr 1 + a; echo $?
