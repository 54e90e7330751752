printf '#!/bin/sh\necho script $1\nexit 3\n' > s; chmod +x s; ./s arg; echo $?
printf 'echo plain $0\n' > p; sh p; sh ./p
printf '#!/bin/cat\nbody\n' > c; chmod +x c; ./c 2>/dev/null | tail -n 1
PATH=$PATH:.; s x
