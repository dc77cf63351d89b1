"""The public pages: mailings with their progress, and the way onto the list."""

from django.db import transaction
from django.forms import ModelForm
from django.http import HttpResponse
from django.urls import reverse_lazy
from django.views.generic import CreateView, ListView, TemplateView

from .models import Mailing, Subscriber


class MailingList(ListView):
    queryset = Mailing.objects.with_progress().order_by("-pk")[:20]


class SignUp(CreateView):
    model = Subscriber
    fields = ["name", "email"]
    success_url = reverse_lazy("joined")

    def form_valid(self, form: ModelForm) -> HttpResponse:
        """Save subscriber and Welcome job (dispatched by signals.welcome) in one transaction."""
        with transaction.atomic():
            return super().form_valid(form)


class Joined(TemplateView):
    template_name = "mailinglist/joined.html"
