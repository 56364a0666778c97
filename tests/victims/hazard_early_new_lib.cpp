// The shared library of hazard_early_new.cpp: new[] in the constructor of a static object.
static struct Early {
    char *text = new char[100];
} early;

extern "C" char *early_text()
{
    return early.text;
}
