"""Retrieval judged by numbers: questions with the documents that answer them, and how many are found."""

from nodes.rag.evaluation.figures import Figures, JudgedQuestion, figures, grouped
from nodes.rag.evaluation.questions import Question, QuestionsFile, in_half, read_questions
from nodes.rag.evaluation.run import judge

__all__ = [
    "Figures",
    "JudgedQuestion",
    "Question",
    "QuestionsFile",
    "figures",
    "grouped",
    "in_half",
    "judge",
    "read_questions",
]
