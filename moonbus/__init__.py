"""moonbus as a program: starting it, controlling it, showing it without a printer."""
