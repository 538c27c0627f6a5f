"""Calls of a program that read or write one file: counted, delayed or recorded (calls.c)."""
